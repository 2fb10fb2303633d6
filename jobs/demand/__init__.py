"""What a demand forecast is made from: sales and promotions become panels."""
